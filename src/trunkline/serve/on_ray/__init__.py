"""Serving on a Ray cluster: this process answers over HTTP as ever, and what a trunk computes is computed by replicas
on Ray Serve, each with one trunk and the heads of the products that stand on it."""
