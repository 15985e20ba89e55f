"""Tables on the terminal, medians over rounds, ratios against the reference."""

from statistics import median

Row = dict[str, float]


def medians(rounds: list[Row]) -> Row:
    return {key: median(row[key] for row in rounds) for key in rounds[0]}


def number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(rows: dict[str, Row]) -> None:
    """One line a server; below it, where there is a reference, every server's ratio to it."""
    if not rows:
        return
    columns = list(next(iter(rows.values())))
    lines = [["", *columns], *([name, *map(number, row.values())] for name, row in rows.items())]
    if "reference" in rows:
        for name, row in rows.items():
            if name != "reference":
                ratios = [f"{row[c] / rows['reference'][c]:.2f} x" if rows["reference"][c] else "" for c in columns]
                lines.append([f"{name} / reference", *ratios])
    if "floor" in rows and "ours" in rows:
        ratios = [f"{rows['ours'][c] / rows['floor'][c]:.2f} x" if rows["floor"].get(c) else "" for c in columns]
        lines.append(["ours / floor", *ratios])
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns) + 1)]
    for line in lines:
        print("| " + " | ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths))) + " |")
        if line is lines[0]:
            print("|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|")
    print()
