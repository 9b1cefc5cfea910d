"""What Prometheus reads at ``/metrics``; names and labels never hold anything of a photo or a caller."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """Counters of one application, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "vilaco_requests", "Requests answered.", ("route", "method", "status"), registry=self.registry
        )
        self.request_seconds = Histogram(
            "vilaco_request_seconds", "From request to answer.", ("route",), buckets=_SECONDS, registry=self.registry
        )
        self.photos = Counter(
            "vilaco_photos", "Photos finished, by verdict or by the error's code.", ("outcome",), registry=self.registry
        )
        self.photo_seconds = Histogram(
            "vilaco_photo_seconds", "Decoding and judging one photo.", buckets=_SECONDS, registry=self.registry
        )
        self.queue = Gauge("vilaco_queue_photos", "Photos that wait or are looked at.", registry=self.registry)
        self.kept = Gauge("vilaco_kept_bytes", "Photos and results kept for now.", registry=self.registry)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)
