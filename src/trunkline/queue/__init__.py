"""Trainings that wait for their turn on one machine, within limits, and leave serving its share."""
