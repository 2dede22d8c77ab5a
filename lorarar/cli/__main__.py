"""`python -m lorarar.cli`."""

from lorarar.cli import entry

if __name__ == "__main__":
    entry()
