"""Times and lengths as people write them."""


def clock(seconds: float) -> str:
    """0:07.3, 12:00.0, 1:02:03: tenths only under an hour."""
    tenths = round(max(seconds, 0.0) * 10)
    minutes, rest = divmod(tenths, 600)
    if minutes < 60:
        return f"{minutes}:{rest // 10:02d}.{rest % 10}"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest // 10:02d}"
