import pytest


@pytest.fixture
def closing():
    """What is made through it is closed at the end, so that no loop stays open: ``make = closing(AppBench)``."""
    made = []

    def of(kind):
        def make(config=None, **how):
            made.append(kind(config, **how))
            return made[-1]

        return make

    yield of
    for each in made:
        each.close()
