"""The commands, the settings, and the only place that wires the layers together."""
