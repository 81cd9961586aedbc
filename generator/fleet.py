"""Sites, machines and the stations beside them (plant scale, review desk, model registry).

Who emits: every machine, and three stations of the fleet.  Each is an OTLP resource with an identity of its
own (``service.instance.id``).  Everything here is a pure function of the spec.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from generator import GENERATOR_VERSION
from generator.materials import mean_deposit_volume_l
from generator.randomness import Purpose, generator
from generator.spec import FleetSpec

Attributes = tuple[tuple[str, str | float], ...]


@dataclass(frozen=True, slots=True)
class Site:
    """Where machines stand.  Local time is UTC plus a whole or half number of hours, all year round."""

    id: str
    name: str
    locality: str
    latitude: float
    longitude: float
    utc_offset_h: float
    mean_temperature_c: float
    daily_swing_c: float


_LOCALITIES: Final = (
    # locality, latitude, longitude, UTC offset, yearly mean and half of the daily range in Celsius (rounded)
    ("Adelaide", -34.93, 138.60, 9.5, 17.0, 5.5),
    ("Werribee", -37.90, 144.66, 10.0, 14.5, 5.0),
    ("Point Cook", -37.91, 144.75, 10.0, 14.5, 4.5),
    ("Port Augusta", -32.49, 137.78, 9.5, 19.5, 6.5),
    ("Mount Gambier", -37.83, 140.78, 9.5, 13.5, 5.5),
)
_PLACES: Final = ("Mall", "Station", "Market", "Depot", "Campus", "Harbour")


@dataclass(frozen=True, slots=True)
class Emitter:
    """Something that sends OTLP under its own identity.  ``resource`` is in the order of its bytes."""

    id: str
    resource: Attributes
    number: int
    """Machines count from 1; stations are 0."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A reverse-vending machine: one hopper, one camera, one scale, one clock."""

    emitter: Emitter
    site: Site
    activity: float
    """Visits relative to the fleet's mean: 0.5 to 1.86, the spread of the fill rates of Wyndham's bins."""
    capacity_l: float
    fill_threshold: float
    """Fill at which the machine asks to be emptied: 0.72 to 0.88 around the 8/10 set for Wyndham's bins."""
    heartbeat_phase_ms: int
    sensor_phase_ms: int
    tare_dg: int
    idle_w: float
    boot_before_start_s: int
    energy_at_start_j: int

    @property
    def id(self) -> str:
        """The machine identity on the wire."""
        return self.emitter.id

    @property
    def number(self) -> int:
        """From 1."""
        return self.emitter.number


@dataclass(frozen=True, slots=True)
class Fleet:
    """Everything that emits."""

    sites: tuple[Site, ...]
    machines: tuple[Machine, ...]
    plant: Emitter
    review_desk: Emitter
    registry: Emitter


def build_fleet(spec: FleetSpec) -> Fleet:
    """The fleet of a spec."""
    sites = tuple(_site(spec, number) for number in range(spec.sites))
    machines = tuple(
        _machine(spec, number, sites[(number - 1) % len(sites)]) for number in range(1, spec.machines + 1)
    )
    return Fleet(
        sites=sites,
        machines=machines,
        plant=_station(spec, "plant-scale-1", "recycling-plant"),
        review_desk=_station(spec, "review-desk-1", "review-desk"),
        registry=_station(spec, "model-registry-1", "model-registry"),
    )


def _site(spec: FleetSpec, number: int) -> Site:
    locality, latitude, longitude, offset, mean, swing = _LOCALITIES[number % len(_LOCALITIES)]
    ring = number // len(_LOCALITIES)
    return Site(
        id=f"{spec.fleet}-site-{number + 1:02d}",
        name=f"{locality} {_PLACES[(number + ring) % len(_PLACES)]}",
        locality=locality,
        latitude=round(latitude + 0.01 * (ring % 50), 4),
        longitude=round(longitude + 0.01 * (ring % 70), 4),
        utc_offset_h=offset,
        mean_temperature_c=mean,
        daily_swing_c=swing,
    )


def _machine(spec: FleetSpec, number: int, site: Site) -> Machine:
    u = generator(spec.seed, number, Purpose.MACHINE).random(8).tolist()
    identity = f"{spec.fleet}-rvm-{number:04d}"
    model = ("RV-300", "RV-500")[int(u[0] * 2)]
    resource: Attributes = (
        ("service.name", "recycling-machine"),
        ("service.namespace", spec.fleet),
        ("service.instance.id", identity),
        ("service.version", GENERATOR_VERSION),
        ("site.id", site.id),
        ("site.name", site.name),
        ("geo.country.iso_code", "AU"),
        ("geo.locality.name", site.locality),
        ("geo.location.lat", site.latitude),
        ("geo.location.lon", site.longitude),
        ("device.manufacturer", "Tally Simulated Machines"),
        ("device.model.name", model),
    )
    activity = 0.50 + 1.36 * u[1] ** 1.72  # mean 1.0
    return Machine(
        emitter=Emitter(identity, resource, number),
        site=site,
        activity=activity,
        capacity_l=max(50.0, spec.deposits_per_day * mean_deposit_volume_l() / spec.fill_per_day),
        fill_threshold=round(0.72 + 0.16 * u[2], 3),
        heartbeat_phase_ms=int(u[3] * 30_000),
        sensor_phase_ms=int(u[4] * spec.step_s * 1_000),
        tare_dg=int(1_200 + u[5] * 2_800),
        idle_w=35.0 + 20.0 * u[6],
        boot_before_start_s=int(86_400 * (1 + 29 * u[7])),
        energy_at_start_j=int(1_000_000_000 * (1 + 9 * u[7])),
    )


def _station(spec: FleetSpec, name: str, service: str) -> Emitter:
    identity = f"{spec.fleet}-{name}"
    resource: Attributes = (
        ("service.name", service),
        ("service.namespace", spec.fleet),
        ("service.instance.id", identity),
        ("service.version", GENERATOR_VERSION),
    )
    return Emitter(identity, resource, 0)
