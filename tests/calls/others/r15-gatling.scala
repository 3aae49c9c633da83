class Shop extends Simulation {
  val httpProtocol = http.baseUrl("http://127.0.0.1:18099")
  setUp(scenario("s").exec(http("a").get("/a")).inject(atOnceUsers(1))).protocols(httpProtocol)
}
