from .scores import score_images as score_images
