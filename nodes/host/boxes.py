"""Boxes as the host's detectors give them: BOUNDING_BOX -> what was found in each picture.

A list a picture of {"x", "y", "width", "height"} in px from the top left, with "label" and "score" where the detector
has them; also one list for the only picture, or one box.
"""

from ...steering.judge import Found

BEYOND = 0.1  # of the picture's side: a detector's box may reach so far out of it


def lists(bboxes, pictures: int | None = None, node: str = "") -> list[list[dict]]:
    """A list a picture. Nothing at all is no box in any. node: what asks. Raises ValueError for another number of
    pictures."""
    if isinstance(bboxes, dict):
        bboxes = [[bboxes]]
    if bboxes and isinstance(bboxes[0], dict):
        bboxes = [bboxes]
    if pictures is None:
        return list(bboxes)
    bboxes = bboxes or [[]] * pictures
    if len(bboxes) != pictures:
        raise ValueError(
            f"There are boxes of {len(bboxes)} picture(s) for {pictures} picture(s). Connect the same pictures to the "
            f"detector and to {node}."
        )
    return list(bboxes)


def found(bboxes, pictures: int, width: int, height: int, node: str) -> list[list[Found]]:
    """What was found in each of so many pictures of this size. node: what asks.

    Raises ValueError for boxes of other pictures, and for boxes without a label.
    """
    return [
        [_found(box, number, width, height) for box in boxes]
        for number, boxes in enumerate(lists(bboxes, pictures, node), 1)
    ]


def named(bboxes, name: str, others=None) -> list[list[dict]]:
    """The boxes with their label; name: of all, or one a line in the order of a picture's boxes; others: boxes of the
    same pictures that come first. Raises ValueError for too few names and for others of other pictures."""
    names = [line.strip() for line in name.splitlines() if line.strip()]
    if not names:
        raise ValueError('name is empty. Write what the boxes are boxes of, for example "dog".')
    pictures = lists(bboxes) or [[]]
    before = lists(others or [], len(pictures), "both inputs of Name Boxes")
    labelled = []
    for number, boxes in enumerate(pictures):
        if len(names) not in (1, len(boxes)):
            raise ValueError(
                f"There are {len(names)} names and {len(boxes)} box(es) in picture {number + 1}. Write one name for "
                "all, or one a line for each box."
            )
        of_each = names * len(boxes) if len(names) == 1 else names
        labelled.append([*before[number], *({**box, "label": n} for box, n in zip(boxes, of_each, strict=True))])
    return labelled


def _found(box: dict, picture: int, width: int, height: int) -> Found:
    x, y = float(box["x"]), float(box["y"])
    right, bottom = x + float(box["width"]), y + float(box["height"])
    name = str(box.get("label") or "").strip()
    if not name:
        raise ValueError(
            f"A box of picture {picture} has no label, so it is not known what it is a box of (SAM3_Detect and Create "
            "Bounding Boxes give none). Put Name Boxes between them and this node."
        )
    if not (min(x / width, y / height) >= -BEYOND and max(right / width, bottom / height) <= 1 + BEYOND):
        raise ValueError(
            f'The box of "{name}" goes from {x:g}, {y:g} to {right:g}, {bottom:g} in picture {picture}, which is '
            f"{width}x{height} px: it is a box of another picture. Connect the same pictures to the detector and here."
        )
    return Found(name, (x, y, right, bottom), float(box.get("score", 1.0)))
