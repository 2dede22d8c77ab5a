# lorarar with the embedded default:
#     docker build -t lorarar .
#     docker run --rm -v "$PWD:/files" --user "$(id -u):$(id -g)" lorarar merge content.safetensors style.safetensors -o merged.safetensors
FROM python:3.11-slim

# The default package index, whose Linux build of torch is for CUDA. `--build-arg TORCH_INDEX=<index URL>` takes another
# build, such as the much smaller one for the CPU: PyTorch's installation page names the index.
ARG TORCH_INDEX=

RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/lorarar
COPY Makefile pyproject.toml setup.py constraints.txt README.md LICENSE ./
COPY lorarar lorarar
COPY configs configs
COPY data data
# The user below cannot write byte code here, so it is compiled now.
RUN --mount=type=cache,target=/root/.cache/pip \
    make install TORCH_INDEX="$TORCH_INDEX" && .venv/bin/python -m compileall -q lorarar

RUN useradd --create-home lorarar && mkdir /files && chown lorarar /files
USER lorarar
# Any user can run the image, so caches go where any user can write.
ENV HOME=/tmp
WORKDIR /files
ENTRYPOINT ["/opt/lorarar/.venv/bin/lorarar"]
CMD ["--help"]
