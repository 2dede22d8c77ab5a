"""Flags of images: what each means."""

FLAGS = {
    "content_leak": "nearly a style reference, so its content leaks in",
    "copy": "nearly a content reference, copied with its look",
    "unstylised": "no nearer to the style than the content's own references",
}
