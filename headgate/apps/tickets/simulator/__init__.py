"""A local upstream with the shapes and habits of a ticket marketplace: for tests, demos and load.

`python -m headgate.apps.tickets.simulator --port 8790` serves it. Everything it answers is invented from a seed;
none of it is copied from a real market. It keeps the truth (what sold, what was relisted) for scoring.
"""

from headgate.apps.tickets.simulator.clock import SimClock
from headgate.apps.tickets.simulator.server import Simulator, serve
from headgate.apps.tickets.simulator.world import World, WorldOptions

__all__ = ["SimClock", "Simulator", "World", "WorldOptions", "serve"]
