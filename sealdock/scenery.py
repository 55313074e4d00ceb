"""Drawn places and people for the footage generator: a shop street and a warehouse, as SVG.

Everything is invented and drawn from numbers, so the same call gives the same picture; no photograph of a
person is needed to show what the station does. Places are 1600 x 900 units, wider than a frame, so that a
camera can drift over them; a walker is 220 x 460 and comes in two steps.
"""

from __future__ import annotations

from random import Random

PLACE_SIZE = (1600, 900)
WALKER_SIZE = (220, 460)
VAN_SIZE = (560, 250)

_FONT = 'font-family="Noto Sans CJK SC, DejaVu Sans, sans-serif" text-anchor="middle"'


def street() -> bytes:
    """Three shops in afternoon light: hardware, noodles, chemist; gas bottles where they should not stand."""
    shops = (
        _shop(-40, "#b9412f", "南溪五金机电", "#7d8a91", "#fff3d6")
        + _shop(500, "#1f6f5c", "老周面馆", "#c2a27c", "#ffe3b0")
        + _shop(1040, "#22568f", "惠民大药房", "#a9afb5", "#e9f6ff")
    )
    return _picture(
        PLACE_SIZE,
        _gradient("sky", "#9cc4e4", "#e8eef0") + _gradient("road", "#5b5f64", "#46494d")
        + _gradient("walk", "#b8b2a7", "#9d978d"),
        '<rect width="1600" height="900" fill="url(#sky)"/>' + _skyline(Random(7))  # noqa: S311  # a drawing
        + shops + '<rect y="640" width="1600" height="130" fill="url(#walk)"/>' + _paving()
        + '<rect y="766" width="1600" height="14" fill="#d8d4cb"/>'
        + '<rect y="780" width="1600" height="120" fill="url(#road)"/>'
        + "".join(f'<rect x="{x}" y="836" width="110" height="9" fill="#e9e6dd"/>' for x in range(20, 1600, 230))
        + _bottles(420, 600) + _tree(1010, 660) + _scooter(760, 650) + _lamp(470),
    )  # fmt: skip


def warehouse() -> bytes:
    """A store room with shelves, a lit exit, extinguishers, and boxes that stand in the way out."""
    chance = Random(11)  # noqa: S311  # a drawing
    floor = "".join(
        f'<line x1="{800 + (x - 800) * 0.42}" y1="520" x2="{x}" y2="900" stroke="#8f8b80" stroke-width="2"/>'
        for x in range(-800, 2500, 150)
    )
    lamps = "".join(
        f'<rect x="{x}" y="{y}" width="{w}" height="10" rx="4" fill="#fdfbe9"/>'
        f'<ellipse cx="{x + w / 2}" cy="{y + 26}" rx="{w * 0.9}" ry="34" fill="#fffbe0" opacity=".22"/>'
        for x, y, w in ((250, 60, 240), (700, 110, 170), (1120, 60, 240))
    )
    return _picture(
        PLACE_SIZE,
        _gradient("wall", "#d5d8d2", "#bfc2ba") + _gradient("floor", "#a39f94", "#7e7a70")
        + _gradient("roof", "#6d7478", "#8b9296"),
        '<rect width="1600" height="900" fill="url(#wall)"/>'
        '<path d="M0 0H1600V70L1180 180H420L0 70Z" fill="url(#roof)"/>'
        '<path d="M420 520H1180L1600 640V900H0V640Z" fill="url(#floor)"/>' + floor + lamps
        + _door() + _shelf(20, 190, 390, 470, chance) + _shelf(1190, 190, 390, 470, chance)
        + _extinguishers(1075, 455) + _pallet(470, 560, chance) + _pallet(960, 610, chance),
    )  # fmt: skip


def walker(step: int, *, jacket: str = "#2f5f9e", vest: bool = False) -> bytes:
    """A passer-by seen from the side, in one of two steps."""
    stride = 34 if step == 0 else 12
    strips = '<path d="M82 170h56v14H82zM82 214h56v14H82z" fill="#eef3b5"/>' if vest else ""
    coat = "#f0a51e" if vest else jacket
    return _picture(
        WALKER_SIZE,
        "",
        f'<ellipse cx="110" cy="450" rx="70" ry="9" fill="#000" opacity=".28"/>'
        f'<path d="M104 262L{104 - stride} 440" stroke="#2b2f38" stroke-width="30" stroke-linecap="round"/>'
        f'<path d="M116 262L{116 + stride} 440" stroke="#363b47" stroke-width="30" stroke-linecap="round"/>'
        f'<path d="M{98 - stride} 448h34M{110 + stride} 448h34" stroke="#1b1b1d" stroke-width="16" '
        'stroke-linecap="round"/>'
        f'<rect x="76" y="122" width="68" height="160" rx="26" fill="{coat}"/>{strips}'
        f'<path d="M112 140Q{112 - stride} 200 {112 - stride // 2} 262" stroke="{coat}" stroke-width="24" '
        'fill="none" stroke-linecap="round"/>'
        f'<path d="M112 140Q{118 + stride} 196 {124 + stride} 250" stroke="{coat}" stroke-width="22" '
        'stroke-opacity=".92" fill="none" stroke-linecap="round"/>'
        f'<circle cx="{126 + stride}" cy="262" r="12" fill="#e2b48f"/>'
        '<rect x="100" y="96" width="24" height="36" fill="#d9a983"/>'
        '<ellipse cx="114" cy="74" rx="34" ry="42" fill="#e6bb97"/>'
        '<path d="M78 78Q74 24 116 26Q152 28 148 62Q126 46 104 56Q96 64 94 92Q80 92 78 78Z" fill="#231f20"/>',
    )


def van() -> bytes:
    """A delivery van that crosses the street."""
    wheels = "".join(
        f'<circle cx="{x}" cy="214" r="34" fill="#1c1d20"/><circle cx="{x}" cy="214" r="15" fill="#8d9298"/>'
        for x in (130, 430)
    )
    return _picture(
        VAN_SIZE,
        "",
        '<ellipse cx="280" cy="242" rx="260" ry="8" fill="#000" opacity=".3"/>'
        '<path d="M20 40H400Q440 40 470 100L530 130Q546 140 546 170V212H20Z" fill="#eceff1"/>'
        '<path d="M404 62L450 108H336V62Z" fill="#5a7486"/><path d="M20 150H546V166H20Z" fill="#d77b1d"/>'
        f'<text x="180" y="112" font-size="44" fill="#c9541a" {_FONT}>安顺物流</text>'
        '<rect x="524" y="172" width="24" height="18" rx="6" fill="#ffe9a8"/>' + wheels,
    )


def _picture(size: tuple[int, int], definitions: str, content: str) -> bytes:
    width, height = size
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}"><defs>{definitions}</defs>{content}</svg>'
    ).encode()


def _gradient(name: str, top: str, bottom: str) -> str:
    return (
        f'<linearGradient id="{name}" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="{top}"/>'
        f'<stop offset="1" stop-color="{bottom}"/></linearGradient>'
    )


def _skyline(chance: Random) -> str:
    blocks, x = "", -20
    while x < PLACE_SIZE[0]:
        width, height = chance.randrange(90, 190), chance.randrange(150, 330)
        shade = chance.choice(("#a8b7c4", "#b5c2cc", "#9dafbf"))
        blocks += f'<rect x="{x}" y="{430 - height}" width="{width}" height="{height}" fill="{shade}"/>'
        blocks += "".join(
            f'<rect x="{column}" y="{row}" width="9" height="12" fill="#d6e0e6"/>'
            for column in range(x + 12, x + width - 14, 24)
            for row in range(446 - height, 330, 30)
        )
        x += width + chance.randrange(4, 30)
    return blocks


def _shop(x: int, sign: str, name: str, wall: str, glow: str) -> str:
    windows = "".join(
        f'<rect x="{x + 50 + 165 * i}" y="150" width="110" height="96" fill="#39474f" stroke="#e8e4da" '
        f'stroke-width="7"/><path d="M{x + 50 + 165 * i} 150l70 0l-70 80z" fill="#8fb3c9" opacity=".5"/>'
        for i in range(3)
    )
    stripes = "".join(
        f'<path d="M{x + 20 + 50 * i} 372h50v34q-25 20-50 0z" fill="{sign if i % 2 else "#f4efe4"}"/>'
        for i in range(10)
    )
    goods = "".join(
        f'<rect x="{x + 60 + 40 * i}" y="{488 + 46 * row}" width="30" height="{26 + (i * 7 + row * 5) % 14}" '
        f'fill="{("#c0392b", "#2980b9", "#f39c12", "#27ae60", "#8e44ad")[(i + row) % 5]}" opacity=".75"/>'
        for i in range(5)
        for row in range(3)
    )
    return (
        f'<rect x="{x}" y="110" width="530" height="540" fill="{wall}"/>'
        f'<rect x="{x}" y="100" width="530" height="16" fill="#6f6a62"/>{windows}'
        f'<rect x="{x + 20}" y="280" width="490" height="92" rx="6" fill="{sign}"/>'
        f'<text x="{x + 265}" y="348" font-size="62" font-weight="bold" fill="#fff7dd" {_FONT}>{name}</text>'
        f'<rect x="{x + 40}" y="430" width="230" height="216" fill="{glow}" stroke="#5d5a55" stroke-width="8"/>{goods}'
        f'<rect x="{x + 320}" y="430" width="150" height="218" fill="{glow}" stroke="#5d5a55" stroke-width="8"/>'
        f'<path d="M{x + 395} 430v218" stroke="#5d5a55" stroke-width="6"/>'
        f'<path d="M{x + 320} 430l60 0l-60 120z" fill="#fff" opacity=".35"/>{stripes}'
    )


def _paving() -> str:
    joints = "".join(
        f'<line x1="{x}" y1="640" x2="{800 + (x - 800) * 1.35}" y2="768" stroke="#8d877d" stroke-width="2"/>'
        for x in range(-200, 1900, 70)
    )
    rows = "".join(f'<line x1="0" y1="{y}" x2="1600" y2="{y}" stroke="#8d877d" stroke-width="2"/>'
                   for y in (662, 692, 728))  # fmt: skip
    return joints + rows


def _bottles(x: int, y: int) -> str:
    return "".join(
        f'<rect x="{x + 42 * i}" y="{y - 62}" width="34" height="110" rx="14" fill="{shade}"/>'
        f'<rect x="{x + 11 + 42 * i}" y="{y - 78}" width="12" height="18" fill="#53585c"/>'
        for i, shade in enumerate(("#5f7f94", "#5f7f94", "#8c9aa3"))
    )


def _tree(x: int, y: int) -> str:
    crown = "".join(
        f'<circle cx="{x + dx}" cy="{y - dy}" r="{r}" fill="{shade}"/>'
        for dx, dy, r, shade in (
            (-60, 330, 74, "#4f7d3a"), (50, 340, 80, "#5b8b42"), (0, 410, 84, "#6a9a4c"), (0, 300, 70, "#487335"),
        )
    )  # fmt: skip
    return f'<path d="M{x - 13} {y + 30}L{x - 8} {y - 300}h18L{x + 15} {y + 30}z" fill="#6b5138"/>{crown}'


def _scooter(x: int, y: int) -> str:
    return (
        f'<circle cx="{x}" cy="{y + 40}" r="26" fill="#222"/><circle cx="{x + 128}" cy="{y + 40}" r="26" fill="#222"/>'
        f'<path d="M{x - 6} {y + 26}L{x + 30} {y - 18}H{x + 86}L{x + 104} {y + 24}L{x + 128} {y + 40}" '
        'stroke="#c93a3a" stroke-width="20" fill="none" stroke-linejoin="round"/>'
        f'<path d="M{x + 104} {y + 26}L{x + 92} {y - 64}h-26" stroke="#33373b" stroke-width="9" fill="none"/>'
        f'<rect x="{x - 14}" y="{y - 36}" width="84" height="18" rx="9" fill="#26282b"/>'
    )


def _lamp(x: int) -> str:
    return (
        f'<path d="M{x} 700V150Q{x} 110 {x + 60} 110" stroke="#4b5257" stroke-width="12" fill="none"/>'
        f'<rect x="{x + 50}" y="100" width="70" height="18" rx="8" fill="#4b5257"/>'
    )


def _door() -> str:
    return (
        '<rect x="700" y="300" width="200" height="226" fill="#7b8b86" stroke="#4f5a57" stroke-width="10"/>'
        '<path d="M800 300v226" stroke="#4f5a57" stroke-width="6"/>'
        '<rect x="690" y="236" width="220" height="50" rx="6" fill="#0f8a4a"/>'
        f'<text x="800" y="274" font-size="36" font-weight="bold" fill="#eafff2" {_FONT}>安全出口</text>'
    )


def _shelf(x: int, y: int, width: int, height: int, chance: Random) -> str:
    boards = height // 4
    boxes = ""
    for row in range(4):
        at = x + 14
        while at < x + width - 70:
            wide, tall = chance.randrange(44, 84), chance.randrange(52, boards - 22)
            shade = chance.choice(("#c79a63", "#b98a52", "#d2ab77", "#7f9db5", "#a4574b"))
            base = y + (row + 1) * boards - 10
            boxes += (
                f'<rect x="{at}" y="{base - tall}" width="{wide}" height="{tall}" fill="{shade}" stroke="#6b4f31"/>'
                f'<rect x="{at + wide * 0.42:.0f}" y="{base - tall}" width="9" height="{tall}" '
                'fill="#e7cf9f" opacity=".6"/>'
            )
            at += wide + 6
    frame = "".join(
        f'<rect x="{x}" y="{y + (row + 1) * boards - 10}" width="{width}" height="12" fill="#3d6fa8"/>'
        for row in range(4)
    )
    posts = "".join(
        f'<rect x="{post}" y="{y}" width="12" height="{height + 20}" fill="#35619a"/>'
        for post in (x, x + width // 2, x + width - 12)
    )
    return boxes + frame + posts


def _extinguishers(x: int, y: int) -> str:
    tanks = "".join(
        f'<rect x="{x + 40 * i}" y="{y}" width="30" height="78" rx="12" fill="#c62828"/>'
        f'<rect x="{x + 9 + 40 * i}" y="{y - 14}" width="12" height="18" fill="#222"/>'
        for i in range(2)
    )
    return (
        f'<rect x="{x - 8}" y="{y - 84}" width="88" height="44" fill="#c62828"/>'
        f'<text x="{x + 36}" y="{y - 54}" font-size="26" fill="#fff" {_FONT}>灭火器</text>{tanks}'
    )


def _pallet(x: int, y: int, chance: Random) -> str:
    boxes = "".join(
        f'<rect x="{x + 66 * (i % 3) + chance.randrange(6)}" y="{y - 62 * (i // 3)}" width="62" height="60" '
        'fill="#c9a06a" stroke="#7a5a34" stroke-width="2"/>'
        for i in range(7)
    )
    return f'<rect x="{x - 8}" y="{y + 60}" width="220" height="16" fill="#8b6b43"/>{boxes}'
