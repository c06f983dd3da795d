"""The `trunkline` command, also as `python -m trunkline`. Ctrl-C is heard from here on: `cli` hears it once it is imported."""

import sys


def main() -> None:
    try:
        from trunkline.cli import main as commands
    except KeyboardInterrupt:
        print("\nstopped; the last good state is untouched", file=sys.stderr)
        sys.exit(130)
    commands()


if __name__ == "__main__":
    main()
