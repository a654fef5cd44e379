"""Samples that are looked at once: the test of a study, apart from what is trained and chosen by.

The test set of a data set is sealed; a stratified fifth of the training set becomes the validation set, the same for
every method and seed. What trains and what chooses is given `working`, in which the validation samples stand where a
test set would, so that no training code can see the test.
"""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.training.data import TrainingData, with_validation


class HeldOut(NamedTuple):
    """Inputs float32 (samples, ...) and labels int64 (samples,) that nothing was trained on."""

    inputs: Tensor
    labels: Tensor


class SealedTest:
    """Test samples that open once. A second look is a defect of the study, and raises."""

    def __init__(self, samples: HeldOut) -> None:
        self._samples: HeldOut | None = samples

    def open(self) -> HeldOut:
        if self._samples is None:
            raise AttrGraphError("the test samples were looked at already; a cell of a study measures on them once")
        samples, self._samples = self._samples, None
        return samples


@dataclass(frozen=True, eq=False)
class StudyData:
    """`working` has training and validation samples, the latter as its test set; `test` is sealed."""

    working: TrainingData
    test: SealedTest

    @property
    def validation(self) -> HeldOut:
        return HeldOut(self.working.test_inputs, self.working.test_labels)


def study_data(data: TrainingData) -> StudyData:
    """Split a data set in three. Raises AttrGraphError for a training set too small to split."""
    return StudyData(with_validation(data), SealedTest(HeldOut(data.test_inputs, data.test_labels)))
