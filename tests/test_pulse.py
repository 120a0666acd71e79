"""Signs of life between a process and its supervisor."""

import multiprocessing

from reference_server.pulse import Pulse, Silence


def test_a_pulse_is_what_another_process_said():
    """Beats and the cry for help cross the border between processes; none were given before."""
    context = multiprocessing.get_context("spawn")
    pulse = Pulse(context)
    assert (pulse.beats, pulse.is_stuck) == (0, False)
    process = context.Process(target=pulse.beat, kwargs={"is_stuck": True})
    process.start()
    process.join(60)
    assert (pulse.beats, pulse.is_stuck) == (1, True)


def test_silence_grows_until_the_next_beat():
    """By what has passed between the looks."""
    silence = Silence()
    assert [silence.look(beats, 0.5) for beats in (1, 1, 1, 2, 2)] == [0.0, 0.5, 1.0, 0.0, 0.5]


def test_a_supervisor_that_was_away_blames_nobody():
    """After a pause of the whole machine a process has a second for each look to speak again."""
    silence = Silence()
    silence.look(1, 0.1)
    assert silence.look(1, 3600.0) == 1.0
    assert silence.look(2, 0.1) == 0.0
