"""Say which GPU there is, or what is missing for one; `make bench-gpu` asks before it installs gigabytes."""

import sys

from reference_server.runtime.cuda_parts import DriverError, driver


def main() -> None:
    """Print the first card's name, or end with 1."""
    try:
        devices = driver().devices
    except DriverError as error:
        sys.exit(f"nothing was measured: there is no NVIDIA driver: {error}")
    if not devices:
        sys.exit(
            "nothing was measured: the NVIDIA driver shows no GPU; in a container: docker run --gpus all"
        )
    print(f"to be measured: {devices[0]}")


if __name__ == "__main__":
    main()
