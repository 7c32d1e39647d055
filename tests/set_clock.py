"""A clock for tests of what is slowed down."""


class Clock:
    """Seconds that go by when a test says so, or when somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        """Let seconds go by."""
        self.now += seconds
