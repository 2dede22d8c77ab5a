"""Metrics from an encoder's features: fidelity, controllability, diversity, base preservation.

cleaning     Prompts without the trigger words, which an encoder of texts does not know
effects      What each hyper-parameter does to each criterion: Shapley values over a table of results
encoders/    Encoders of images and texts
export       The files of a measurement
features     Features of image files
flags        Flags for what similarities alone reward
images_seen  Everything that is to be scored, as the encoders see it
measures     The measures as pure functions of features: no images, no encoders. numpy only
plots        One picture a prompt type
probe        Is an encoder fit for the question? Whether it sees content or style, on images whose content and sty
ranking      Ranks instead of values, so that metrics of different scales can be averaged
reasons      Why a metric was not measured: a gap in a table says nothing, a reason says what to do
results      From scores of images and pairs to the results of methods, with intervals
run          `lorarar metrics`
scoring      From features to scores of images and of pairs
validation   Probe encoders on labelled images: what `lorarar metrics validate` does
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
