# docker build -t gorgon . && docker run --rm -u "$(id -u)" -v "$PWD:/work" gorgon run task.wasm -n 4000
FROM rust:1.95-trixie AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p gorgon-cli --bin gorgon

FROM debian:trixie-slim
# For HTTPS: the certificates that a system trusts. Gorgon has Mozilla's as well.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/gorgon /usr/local/bin/gorgon
# Reports are written to the folder that is mounted.
WORKDIR /work
USER 65532:65532
# Compiled tasks are kept here, as nobody has a home.
ENV XDG_CACHE_HOME=/tmp/cache
ENTRYPOINT ["gorgon"]
