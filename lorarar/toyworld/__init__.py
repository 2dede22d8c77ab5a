"""The embedded default: a small world of rendered subjects and styles with known truth."""
