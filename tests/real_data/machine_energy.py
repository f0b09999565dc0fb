"""Energy of a machine from its power at about 100 Hz: the trapezoid between neighbouring samples of the three phases' sum, in fractions.

    machine_energy.py SENSOR_TSV       prints watt-seconds (exact) and kilowatt-hours (6 decimals, half-even)
"""
import fractions
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "oracle"))
from decimals import divide_half_even, plain  # noqa: E402
from event_input import parse_time  # noqa: E402


def watt_seconds(path):
    """The integral as a fraction; samples count once each, in the order of their times."""
    samples = []
    with open(path, encoding="ascii") as file:
        for line in file:
            cells = line.rstrip("\n").split("\t")
            samples.append((parse_time(cells[0]), sum(int(cell) for cell in cells[2:5])))
    samples.sort()
    twice_nanoseconds = sum((power + next_power) * (next_time - time)
                            for (time, power), (next_time, next_power) in zip(samples, samples[1:]))
    return fractions.Fraction(twice_nanoseconds, 2_000_000_000)


def kilowatt_hours(energy):
    millionths = energy * 1_000_000 / 3_600_000
    return plain(divide_half_even(millionths.numerator, millionths.denominator), 6)


if __name__ == "__main__":
    found = watt_seconds(sys.argv[1])
    print(found, kilowatt_hours(found))
