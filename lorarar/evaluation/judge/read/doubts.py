"""Doubts: reasons why a text that begins with an answer does not vote, such as an image that the model did not see.

All functions take text in lower case with plain signs, see `lorarar.evaluation.judge.read.text.plain_text`.

Limits: a doubt is a phrase of a list, in English, so an unusual way to say that an image is missing can still vote, and
a vote whose explanation uses such a phrase in another sense abstains. The raw replies are kept, and the calibration
finds a model that votes without having seen the images.
"""

from __future__ import annotations

import re

_IMAGE = r"(?:images?|pictures?|photos?|attachments?)"
_WHICH = r"(?:(?:any|the|these|those|your|both|either|two|second|first|test|reference|one|other|actual)\s+)*"
_UNABLE = r"(?:cannot|can'?t|can not|could not|couldn'?t|unable to|not able to|do not|don'?t)\s+(?:\w+ly\s+)?"
_UNSEEN = re.compile(
    "|".join(
        (
            r"\bas an ai\b",
            r"\bi(?:'m| am) sorry\b",
            rf"(?:{_UNABLE}|\bwon'?t\s+)(?:assist|help|comply|answer|determine|tell|access|judge|compare)\b",
            rf"{_UNABLE}(?:see|view|open|load|process|perceive|inspect|analy[sz]e|look at)\s+{_WHICH}{_IMAGE}\b",
            rf"\bno\s+(?:second |first |test |reference |other |such )?{_IMAGE}\b",
            rf"\b{_IMAGE}\s+(?:is|are|was|were|seems?|appears?)(?:\s+to be)?\s+missing\s*"
            r"(?:$|[.,;!]|from (?:the|your) (?:message|prompt|input|request))",
            rf"\b{_IMAGE}\s+(?:\w+\s+){{0,2}}(?:not|\w+n't)\s+(?:been\s+|be\s+)?"
            r"(?:provided|attached|uploaded|included|visible|accessible|available|load|loaded|displayed|given|sent)\b",
            rf"\b{_IMAGE}\s+(?:has\s+|have\s+)?failed to\b",
            rf"\b(?:only|just)\s+(?:see |received? |have |got )?(?:one|a single|1|the first)\s+{_IMAGE}\b",
            rf"\bfrom (?:one|a single) {_IMAGE}\b",
            r"\b(?:impossible|not possible) to\b",
            r"\bplease (?:re-?)?(?:upload|provide|share|attach|send|resend)\b",
            r"\b(?:happy|glad) to (?:help|assist)\b|\bi can (?:help|assist)\b|\bhow can i (?:help|assist)\b",
            rf"\bi (?:can )?see (?:both|the|two|2|your)(?: \w+)? {_IMAGE}\b",
        )
    )
)
_RETRACTED = re.compile(
    r"\bon (?:second thought|reflection|closer (?:look|inspection))|\bwait\b|\bactually,|\bactually (?:yes|no)\b|"
    r"\blet me (?:look|check|think|see|re-?\w+)\b|\bscratch that\b|\bcorrection:|\bi take (?:it|that) back\b"
)
_CONDITIONAL = re.compile(r"\bwould (?:be|have|match)\b[^.\n]{0,200}\bif\b|\bif one\b|\botherwise\b")
_NEXT_TURN = re.compile(r"\n\s*(?:user|human|assistant)\s*:")
_CLAUSE_END = re.compile(r"[.;\n!]+")
# A clause with one of these words weighs both sides; after a no, "the same cat in another style" does so too.
_BALANCED = re.compile(r"\b(?:but|although|though|however|yet|except|only|while)\b")
_ANOTHER = re.compile(r"\b(?:another|other)\b")
_BE = r"(?:'s|'re|\s+is|\s+are|\s+looks?|\s+shows?|\s+depicts?)"
_ADVERBS = r"(?:\s+(?:clearly|indeed|exactly|both|certainly|obviously|quite|very|completely|in fact))*"
# What may stay or change without a change of the answer: as a subject, or after "same" and "different".
_INCIDENTAL = (
    r"(?:breed|class|kind|type|species|colou?rs?|pose|position|size|shape|category|sort|background|angle|setting|scene"
    r"|lighting|surroundings|medium|style)\b"
)
_SAME = re.compile(
    rf"\b(?!{_INCIDENTAL})\w+{_BE}{_ADVERBS}\s+(?:(?:the|this|that|one|very)\s+)*(?:same|identical)\b"
    rf"(?!\s+{_INCIDENTAL})"
    r"|\bthere(?:'s|\s+is|\s+are)\s+(?:no|nothing|not any)\b[^,]{0,60}(?:differ|chang|mismatch)"
    r"|\b(?:lo stesso|la stessa|el mismo|la misma)\b"
)
_NEGATED = re.compile(r"\bnot\b|n't\b|\bnon\b|\bhardly\b|\bno (?:es|son)\b")
_DIFFERENCE = re.compile(r"\bdiffer|\bnot\b|n't\b|\bnon\b|\banother\b|\bother\b|\bmissing\b|\blacks?\b|\binstead\b")
_DIFFERENT = re.compile(
    rf"\b(?!{_INCIDENTAL})\w+(?:{_BE}?(?:\s+not|n't)\s+(?:\w+\s+){{0,2}}same\b"
    rf"|{_BE}{_ADVERBS}\s+(?:a\s+|an\s+|two\s+)?{_ADVERBS}\s*different\b(?!\s+{_INCIDENTAL}))"
    rf"|\b(?:they|these|those|(?:images|\w+ images|the two \w+))\s+(?:clearly\s+|completely\s+)?differ\b"
)


def is_unseen(text: str) -> bool:
    """Tell whether a text declines to answer, or says that the model did not see an image."""
    return _UNSEEN.search(text) is not None


def is_retracted(text: str) -> bool:
    """Tell whether the text after an answer takes the answer back, makes it conditional or starts another turn."""
    return any(pattern.search(text) for pattern in (_RETRACTED, _CONDITIONAL, _NEXT_TURN))


def contradicts(text: str, answer: bool) -> bool:
    """Tell whether the text after a yes or no states the opposite, such as "Yes, they are different".

    A clause that weighs both sides ("the colours differ, but ...") does not count.
    """
    for clause in _CLAUSE_END.split(text):
        if _BALANCED.search(clause):
            continue
        if answer and _DIFFERENT.search(clause):
            return True
        if not answer and _SAME.search(clause) and not (_NEGATED.search(clause) or _ANOTHER.search(clause)):
            # "There is no difference" contains the word; elsewhere a named difference explains the no.
            return _DIFFERENCE.search(text.replace(clause, " ")) is None
    return False
