"""The same GET for locust: as fast as its users can."""

from locust import FastHttpUser, task


class Getter(FastHttpUser):
    @task
    def get(self):
        self.client.get("/")
