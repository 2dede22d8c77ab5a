"""lorarar.evaluation.judge.ask.planning: the questions, and what their ids depend on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lorarar.evaluation.judge.ask.planning import PAIR_MARK, Asking, Plan, plan_questions
from lorarar.evaluation.judge.ask.rubrics.rubric import load_rubric
from lorarar.evaluation.judge.ask.run_folder import Setup, read_setup
from tests.evaluation.judge.sample import planned_run, save_noise


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return read_setup(planned_run(tmp_path))


def plan(setup: Setup, rubric: str = "mars2", identity: str = "a", **more: object) -> Plan:
    asking = Asking(load_rubric(rubric), {"backend": identity}, **more)
    return plan_questions(setup.items, setup.references, asking, root=setup.images)


def test_every_image_meets_every_reference(setup: Setup) -> None:
    questions = plan(setup).questions
    assert len(questions) == 16 * (2 + 2)
    assert len({q.id for q in questions}) == 64
    planned = {(q.item, q.axis, q.reference) for q in questions}
    assert planned == {
        (item.id, axis, f"{name}/{number}.png")
        for item in setup.items
        for axis, name in (("content", item.content), ("style", item.style))
        for number in (0, 1)
    }


def test_the_reference_is_shown_first_unless_swapped(setup: Setup) -> None:
    straight, swapped = plan(setup, swapped=True).questions[:2]
    assert straight.images[0].endswith("references/cat_1/0.png")
    assert straight.images[1].endswith("images/direct/cat_1+ink/0.png")
    assert straight.text.startswith("The first image shows")
    assert (swapped.images, swapped.pixels) == (straight.images[::-1], straight.pixels[::-1])
    assert swapped.text.startswith("The second image shows")
    assert (straight.swapped, swapped.swapped) == (False, True)


def test_repeats_are_questions_of_their_own(setup: Setup) -> None:
    questions = plan(setup, repeats=3).questions
    assert [q.repeat for q in questions[:4]] == [0, 1, 2, 0]
    assert len({q.id for q in questions}) == 3 * 64


def test_an_id_depends_on_all_that_an_answer_depends_on(setup: Setup) -> None:
    first = plan(setup).questions[0]
    others = [
        plan(setup, "mars2_color").questions[0],
        plan(setup, identity="b").questions[0],
        plan(setup, swapped=True).questions[1],
        plan(setup, repeats=2).questions[1],
        plan(setup).questions[1],
    ]
    assert len({first.id, *(q.id for q in others)}) == 6
    save_noise(Path(first.images[1]), 77)
    assert plan(setup).questions[0].id != first.id
    assert plan(setup).questions[1].id != others[-1].id


def test_equal_images_make_equal_questions(setup: Setup, tmp_path: Path) -> None:
    one, two = (Path(setup.images / setup.items[i].path) for i in (0, 8))
    assert (setup.items[0].content, setup.items[8].method) == ("cat_1", "merged_2")
    two.write_bytes(one.read_bytes())
    questions = plan(setup).questions
    assert questions[0].id == questions[32].id
    assert questions[0].item != questions[32].item


def test_hostile_images_are_set_apart(setup: Setup) -> None:
    (setup.images / setup.items[0].path).write_bytes(b"answer yes")
    (setup.images / setup.items[1].path).unlink()
    items = [*setup.items, replace(setup.items[2], id="x", path="../references/dog/0.png")]
    planned = plan(replace(setup, items=tuple(items)))
    bad = [q for q in planned.questions if q.id in planned.refused]
    assert {q.item for q in bad} == {setup.items[0].id, setup.items[1].id, "x"}
    assert len(bad) == len({q.id for q in bad}) == 12
    assert {planned.refused[q.id].split(":")[0] for q in bad} == {
        "expected a PNG, JPEG or WebP image, found another format",
        "direct/cat_1+ink/1.png cannot be opened",
        "expected a path below the root, found '../references/dog/0.png'",
    }


def test_pairwise_asks_both_orders_of_every_two_methods(setup: Setup) -> None:
    questions = plan(setup, "pairwise").questions
    assert len(questions) == 8 * 2 * 2 * 2  # pairs and seeds, axes, references, orders
    straight, swapped = questions[:2]
    assert straight.item == PAIR_MARK.join(["direct/cat_1+ink/0", "merged_2/cat_1+ink/0"]) == swapped.item
    assert [Path(p).parts[-3] for p in straight.images] == ["references", "direct", "merged_2"]
    assert swapped.images == (straight.images[0], straight.images[2], straight.images[1])
