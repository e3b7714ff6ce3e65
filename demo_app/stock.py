"""The paper stock that Bogenlager shows; it is made up and the same for everybody."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PAPERS", "Paper"]


@dataclass(frozen=True)
class Paper:
    """A paper in the warehouse: what it is, where it is stored and how much is left."""

    name: str
    grammage: int
    size: str
    place: str
    sheets: int
    capacity: int

    @property
    def fill(self) -> int:
        """How full the storage location is, in percent."""
        return round(100 * self.sheets / self.capacity)

    @property
    def low(self) -> bool:
        """True if the paper should be reordered."""
        return self.fill < 20


PAPERS = (
    Paper("Profimatt", 135, "70 × 100", "A 04", 18_500, 24_000),
    Paper("Offset 1,2", 90, "63 × 88", "A 11", 31_000, 40_000),
    Paper("Natur Recycling", 120, "70 × 100", "B 02", 2_250, 16_000),
    Paper("Chromokarton", 300, "72 × 102", "C 07", 6_400, 12_000),
)
