"""Wire models: requests are parsed by them, answers documented by them. Every field has a
description.
"""
