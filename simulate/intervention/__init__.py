"""The replacement statement tested by intervention: a small network whose gradient noise has a chosen law."""
