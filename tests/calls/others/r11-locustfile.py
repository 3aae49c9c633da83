from locust import HttpUser, task

class Shop(HttpUser):
    host = "http://127.0.0.1:18099"

    @task
    def home(self):
        self.client.get("/a")
