"""Request text: blocks and settings of a request as people type them into a page or a node."""

from __future__ import annotations


def parse_numbers(text: str, what: str) -> list[float]:
    """Return the numbers of a comma-separated list; those without a point are integers.

    Args:
        text: The list.
        what: What it is, for the error.

    Raises:
        ValueError: An entry is not a number.
    """
    try:
        return [int(part) if part.strip().lstrip("+-").isdecimal() else float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"expected {what} as a number or a list such as 1,0.5, found {text!r}: correct it") from None


def parse_blocks(text: str) -> dict[str, list[float]]:
    """Return block -> weights of lines such as "up_blocks.1=0.8" and "mid_block=1,0.5".

    Raises:
        ValueError: A line is not of this form.
    """
    blocks: dict[str, list[float]] = {}
    for line in filter(None, map(str.strip, text.replace(";", "\n").splitlines())):
        name, equals, weights = line.partition("=")
        if not equals:
            raise ValueError(f"expected a block and its weights such as up_blocks.1=0.8, found {line!r}: put = between")
        blocks[name.strip()] = parse_numbers(weights, f"the weight of {name.strip()}")
    return blocks


def parse_options(text: str) -> dict[str, float]:
    """Return the settings of a text such as "density=0.3, seed=1".

    Raises:
        ValueError: A setting is not of this form.
    """
    options: dict[str, float] = {}
    for part in filter(None, map(str.strip, text.replace("\n", ",").split(","))):
        name, equals, value = part.partition("=")
        numbers = parse_numbers(value, f"the number of {name.strip()}") if equals else []
        if len(numbers) != 1:
            raise ValueError(f"expected a setting and its number such as density=0.3, found {part!r}: put = between")
        options[name.strip()] = numbers[0]
    return options
