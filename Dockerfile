# syntax=docker/dockerfile:1
# PgDrover as a container: one static program and nothing else. Both images can be replaced:
#   docker build --build-arg BUILD_IMAGE=… --build-arg RUN_IMAGE=… --build-arg VERSION=$(git describe --tags --always) .
# BUILD_IMAGE must be a glibc system with Go, gcc and CA certificates (musl works too, given gcc and musl-dev).
ARG BUILD_IMAGE=golang:1.26-bookworm
ARG RUN_IMAGE=scratch

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
# The modules change less often than the code: the SQL parser, which takes minutes to compile, stays in the cache.
COPY go.mod go.sum ./
RUN go mod download && CGO_ENABLED=1 go build -tags netgo,osusergo github.com/pganalyze/pg_query_go/v6
COPY . .
ARG VERSION=unknown
ARG COMMIT=unknown
RUN CGO_ENABLED=1 go build -trimpath -buildvcs=false -tags netgo,osusergo \
        -ldflags "-s -w -X main.version=${VERSION} -X main.commit=${COMMIT} -linkmode external -extldflags '-static'" \
        -o /out/pgdrover ./cmd/pgdrover \
    && /out/pgdrover version \
    && mkdir -p /out/state

FROM ${RUN_IMAGE}
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/pgdrover /pgdrover
# Where shardmap.lock belongs, on a volume: set databases.NAME.lock to a file here.
COPY --from=build --chown=65532:65532 /out/state /var/lib/pgdrover
USER 65532:65532
WORKDIR /var/lib/pgdrover
# 6432: PostgreSQL clients. 6433: health, metrics.
EXPOSE 6432 6433
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["/pgdrover", "healthcheck", "--url", "http://127.0.0.1:6433/healthz"]
ENTRYPOINT ["/pgdrover"]
CMD ["serve", "--config", "/etc/pgdrover/pgdrover.yaml"]
