"""Entry point of `python -m lorarar.cli`."""

from lorarar.cli.main import entry

if __name__ == "__main__":
    entry()
