"""The work: schedules images, segments them on worker threads, and gives each caller its answer."""
