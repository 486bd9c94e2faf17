#!/bin/sh
# The --serve command of the conformance tool: starts the REST surface for one configuration.
cd "$(dirname "$0")/../.." && exec .venv/bin/python -m tests.conformance.serve
