"""Runs after a set was promoted: what is left of the other mirrors, and what to write then."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from provider_bed_eva import EvaBed
from provider_bed_sfw import SfwBed
from provider_trial import Rotation

from exshadow.providers.contract import Verb


@pytest.mark.parametrize("kind", [pytest.param(EvaBed, marks=pytest.mark.soak), SfwBed])
def test_runs_tell_of_a_mirror_that_a_promotion_cost_before_they_stop(
    memory: Path, kind: type[EvaBed | SfwBed]
) -> None:
    with closing(kind(memory)) as bed:
        rotation = Rotation(bed)
        rotation.group = rotation.group.model_copy(update={"mirrors": ("m1", "m2")})
        first, _ = rotation.good(), rotation.good()
        with rotation.room() as room:
            assert first.made is not None
            room.do(room.action(Verb.PROMOTE, first.mirror, first.made.id, first.made.label))
        (warning,) = rotation.good().warnings
        error = rotation.run().error
        assert error is not None
        assert "newest verified" in error.message
        if kind is EvaBed:
            assert "m2 is db-" in error.message
            assert "mirror of another vdisk than production" in warning
            assert 'mirrors = ["m1", "m2", "m3"]; or give its set up' in error.hint
        else:
            assert "mirror m1 could not be prepared" in error.message
            assert "m1 could not be prepared" in warning
            assert "in [provider.sfw] mirrors" in warning
            assert "in [provider.sfw] mirrors" in error.hint
