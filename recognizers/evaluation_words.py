"""What the figures of an evaluation say, a sentence a measure."""

import re
from collections.abc import Mapping
from typing import Any

from scipy.stats import norm

__all__ = ["in_words", "printed"]

Section = Mapping[str, Any]

CHANCE = 0.5
"""AUC of an attack that tells nothing, if training and held-out images are alike by themselves."""
HARMLESS = 0.1
"""An attack whose AUC surely leads by less is said to tell nothing."""
LEVEL = 0.05
"""How often the verdict on a bundle that gives nothing away may say that it does, at most."""


def in_words(measures: Section, real: Section) -> list[str]:
    """What the figures of one bundle say, a sentence a measure."""
    said = []
    unlabelled = [name for name, section in measures.items() if "no_labels" in section]
    if unlabelled:
        said.append("It draws images without labels: there are none to check or to learn from.")
        measures = {name: found for name, found in measures.items() if name not in unlabelled}
    if "labels" in measures:
        top1, usual = measures["labels"]["top1"]["mean"], real["labels"]["top1"]["mean"]
        said.append(f"{top1:.1%} of its images are read as asked (real images: {usual:.1%}).")
    if "utility" in measures:
        learned, usual = (
            found["utility"]["train_on_generated"]["mean"] for found in (measures, real)
        )
        of_them, of_real = "them", "the real training images"
        if "learned" in measures["utility"]:  # measures kept from before it was told have none
            of_them, of_real = (
                f"{found['utility']['learned']['mean']:,.0f} of {which}"
                for found, which in ((measures, "them"), (real, of_real))
            )
        said.append(
            f"A recognizer trained on {of_them} alone reads {learned:.1%} of real images right; "
            f"trained on {of_real}, {usual:.1%}."
        )
    if "fidelity" in measures:
        coverage, usual = (
            found["fidelity"]["domain"]["coverage"]["mean"] for found in (measures, real)
        )
        said.append(
            f"They come near to {coverage:.0%} of real images; other real images do to {usual:.0%}."
        )
    if "diversity" in measures:
        share = measures["diversity"]["of_real"]["mean"]
        which = (
            "Images"
            if measures["diversity"]["intra_class"]["mean"] is None
            else "Images of one class"
        )
        said.append(f"{which} differ {share:.0%} as much as real ones do.")
    if "privacy" in measures:
        said += _privacy_in_words(measures["privacy"], real["privacy"])
    return [printed(sentence) for sentence in said]


def printed(text: str) -> str:
    """Text as it is printed: a true minus sign, a space before %."""
    return re.sub(r"-(?=\d)", "−", re.sub(r"(?<=\d)%", " %", text))


def _privacy_in_words(section: Section, real: Section) -> list[str]:
    """Near-copies, and what the strongest attack proves.

    Other real images give nothing away, yet an attack with them may miss an AUC of CHANCE:
    training and held-out images differ by themselves. So an attack with generated images has to
    beat both, chance and the same attack with real images; beating one of them proves nothing.
    That it beats neither says that nothing is told only where its lead is surely below HARMLESS.
    Nor is the best of several attacks as sure as one alone: its intervals are widened (Bonferroni).
    """
    attacks = section["attacks"].values()
    usual = {found["space"]: found["auc"]["mean"] for found in real["attacks"].values()}
    wider = norm.ppf(1 - LEVEL / 2 / len(attacks)) / norm.ppf(1 - LEVEL / 2)

    def leads(attack: Section) -> list[tuple[float, float, float]]:
        """Over chance and over real images: the estimate, and the ends of its interval."""
        auc, (low, high) = attack["auc"]["mean"], attack["ci95"]["mean"]
        rival = usual[attack["space"]]
        pair = attack.get("over_real_ci95")  # measures kept from before it was taken have none
        over_real = pair["mean"] if pair else (low - rival, high - rival)
        return [(auc - CHANCE, low - CHANCE, high - CHANCE), (auc - rival, *over_real)]

    strongest = max(attacks, key=lambda attack: min(lead for lead, *_ in leads(attack)))
    ends = [
        (lead - wider * (lead - low), lead + wider * (high - lead))
        for lead, low, high in leads(strongest)
    ]
    beaten, most = [low > 0 for low, _ in ends], min(high for _, high in ends)
    if all(beaten):
        told = "gives training images away"
    elif any(beaten):
        sure, unsure = ("chance", "other real images")[:: 1 if beaten[0] else -1]
        told = f"proves nothing either way, for it beats {sure} but not surely {unsure}"
    elif most < HARMLESS:
        told = "tells no training images from others"
    else:
        told = f"proves nothing either way, for of so few images it may lead by up to {most:.2f}"
    auc, space = strongest["auc"]["mean"], strongest["space"]
    how = space + (", calibrated" if strongest["calibrated"] else "")
    return [
        _copies_in_words(section["memorisation"], real["memorisation"]),
        f"The strongest of {len(attacks)} attacks ({how}) {told}: AUC {auc:.2f}; other real images "
        f"score {usual[space]:.2f}.",
    ]


def _copies_in_words(drawn: Section, real: Section) -> str:
    """How many images are near-copies in each space, beside other real images."""
    shares = {
        name: (found["near_copies"]["mean"], real[name]["near_copies"]["mean"])
        for name, found in drawn.items()
    }
    told = ", ".join(
        f"{share:.1%} by {name} (other real images: {usual:.1%})"
        for name, (share, usual) in shares.items()
    )
    more = [name for name, (share, usual) in shares.items() if share > usual]
    alone = len(shares) > 1 and more == ["pixels"]
    blur = " Near in pixels alone, they may be blurred and no copies." if alone else ""
    return f"Near-copies of training images: {told}.{blur}"
