"""Synthetic robot-dog footage whose every cut, fault and verdict is known.

Demonstrations and tests belong here; nothing that reads real footage does.
"""
