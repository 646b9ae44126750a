//! Wiring: build, start, drain, stop.
