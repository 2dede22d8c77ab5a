"""Merge content and style LoRAs with a hypernetwork: train it, merge at once, measure the images."""
