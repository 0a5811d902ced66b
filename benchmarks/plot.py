"""Curves as SVG: a value over a size that grows tenfold from mark to mark."""

from collections.abc import Mapping, Sequence
from math import log10
from pathlib import Path

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 520, 260, 60, 40, 40, 20
COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706")


def curve(
    path: Path, title: str, unit: str, series: Mapping[str, Sequence[tuple[float, float]]]
) -> str:
    """Write the curves, and give the reference for a page in docs/."""
    points = [point for line in series.values() for point in line]
    low, high = (f(log10(x) for x, _ in points) for f in (min, max))
    top = max(y for _, y in points) * 1.15 or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        across = (log10(x) - low) / ((high - low) or 1)
        return (
            LEFT + across * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - y / top * (HEIGHT - BOTTOM - TOP),
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
        "<style>text { font: 12px sans-serif }</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20">{title}</text>',
    ]
    for step in range(5):
        value = top * step / 4
        _, y = place(10**low, value)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>'
        )
    for size in sorted({x for x, _ in points}):
        x, y = place(size, 0)
        parts.append(f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{size:,.0f}</text>')
    parts.append(f'<text x="{LEFT - 6}" y="{TOP - 6}" text-anchor="end">{unit}</text>')
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [place(*point) for point in line]
        path_of = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path_of}" fill="none" stroke="{colour}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        parts.append(
            f'<text x="{WIDTH - RIGHT}" y="{20 + 15 * number}" text-anchor="end"'
            f' fill="{colour}">{name}</text>'
        )
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([*parts, "</svg>", ""]))
    return f"![{title}]({path.parent.name}/{path.name})"
