"""Convert a decoded image of any mode and colour space to opaque 8-bit sRGB, upright."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final, cast

from PIL import Image, ImageMath, ImageOps

from core.errors import ImageError
from core.images import tone
from core.images.file_type import Kind

MAX_PROFILE: Final = 4_000_000  # bytes; profiles of printers have up to two million
_TIFF_BITS, _TIFF_PHOTOMETRIC = 258, 262
_PROFILE_DAMAGED: Final = "its colour profile is damaged and was ignored"
_SPACES: Final = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK", "LAB": "Lab "}


def normalised(
    image: Image.Image, kind: Kind, quoted: str, *, primaries: int = 2, transfer: int = 2, turned: bool = False
) -> tuple[Image.Image, list[str]]:
    """(upright RGB image without metadata, notes) of a loaded image, which may be changed.

    `primaries`, `transfer`: H.273 code points of the file, used if it has no ICC profile. `turned`: the decoder has
    applied the orientation already.
    """
    rgb, notes = _to_srgb(image, kind, quoted, primaries, transfer)
    if not turned:
        rgb, note = upright(image, rgb)
        notes += [note] if note else []
    rgb.info = {}  # drops comments, profiles and EXIF with its location
    return rgb, notes


def over_white(image: Image.Image) -> Image.Image:
    """`image` as RGB over a white background."""
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA")).convert("RGB")


def _to_srgb(
    image: Image.Image, kind: Kind, quoted: str, primaries: int, transfer: int
) -> tuple[Image.Image, list[str]]:
    if image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PNG", "PPM")):
        return _deep_grey(image, kind), []
    if image.mode in ("I", "F"):
        return _stretched(image, quoted), ["high-range values stretched to 8 bits"]
    if image.mode == "LAB":
        from PIL import ImageCms

        converted = ImageCms.profileToProfile(
            image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
        return cast(Image.Image, converted), []
    profile = image.info.get("icc_profile")
    if image.has_transparency_data:
        image = over_white(image)
    elif image.mode not in ("RGB", "L", "CMYK"):
        image = image.convert("L" if image.mode in ("1", "LA") else "RGB")
    if profile:
        return _through_profile(image, profile)
    rgb = image.convert("RGB")  # a copy, also of RGB
    if not tone.is_needed(primaries, transfer):
        return rgb, []
    import numpy as np

    return Image.fromarray(tone.to_srgb(np.asarray(rgb), primaries, transfer)), [tone.describe(primaries, transfer)]


def _through_profile(image: Image.Image, data: bytes) -> tuple[Image.Image, list[str]]:
    """`image`, of mode RGB, L or CMYK, converted from the space of its ICC profile."""
    if data[36:40] != b"acsp":  # ICC.1:2022, 7.2.11: it never was a profile
        return image.convert("RGB"), []
    from PIL import ImageCms

    try:
        if len(data) > MAX_PROFILE:
            raise ImageCms.PyCMSError("too large")
        profile = ImageCms.ImageCmsProfile(BytesIO(data))
        space = profile.profile.xcolor_space
        name = profile.profile.profile_description or ""
        if space == "RGB " and image.mode == "L":  # decoders turn a grey picture in RGB into L
            image = image.convert("RGB")
        if space != _SPACES[image.mode] or (space == "RGB " and name.startswith("sRGB")):
            return image.convert("RGB"), []
        converted = ImageCms.profileToProfile(
            image,
            profile,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image.convert("RGB"), [_PROFILE_DAMAGED]
    return cast(Image.Image, converted), []


def upright(image: Image.Image, rgb: Image.Image) -> tuple[Image.Image, str | None]:
    """(`rgb` rotated by the EXIF orientation of `image`, note). The TIFF decoder rotates by itself."""
    try:
        orientation = image.getexif().get(0x0112, 1)
    except Exception:
        return rgb, "its EXIF data is damaged, it may be sideways"
    if orientation not in range(2, 9):
        return rgb, None
    exif = Image.Exif()
    exif[0x0112] = orientation
    rgb.info = {"exif": exif.tobytes()}
    return ImageOps.exif_transpose(rgb), None


def _deep_grey(image: Image.Image, kind: Kind) -> Image.Image:
    """12- and 16-bit grey scaled to 8 bits; `Image.convert` would clip every value above 255 to white."""
    tags: Any = getattr(image, "tag_v2", {})
    bits = tags.get(_TIFF_BITS, (16,))
    depth = int(bits[0] if isinstance(bits, tuple) else bits)
    scale = 255 / (2**depth - 1)
    levels = image.convert("I")
    white_is_zero = kind == "TIFF" and tags.get(_TIFF_PHOTOMETRIC) == 0
    slope, offset = (-scale, 255.5) if white_is_zero else (scale, 0.5)
    rgb = levels.point(lambda value: value * slope + offset).convert("L").convert("RGB")
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        mask = ImageMath.lambda_eval(
            lambda args: args["convert"]((args["levels"] == transparent) * 255, "L"), levels=levels
        )
        rgb.paste("white", mask=mask)
    return rgb


def _stretched(image: Image.Image, quoted: str) -> Image.Image:
    """32-bit values have no standard white level: map the smallest to black and the largest to white."""
    values = image.convert("F")
    low, high = cast(tuple[float, float], values.getextrema())
    if not (low <= high and abs(low) < 1e38 and abs(high) < 1e38):
        raise ImageError(f"{quoted} holds values that are not finite numbers; export it as 8 or 16 bits per channel.")
    if low >= 0.0 and high <= 1.0:
        low, high = 0.0, 1.0
    scale = 255 / (high - low) if high > low else 0.0
    return values.point(lambda value: value * scale + (0.5 - low * scale)).convert("L").convert("RGB")
