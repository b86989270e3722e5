# hier on a CPU:
#
#   docker build -t hier .
#   docker run --rm -v "$PWD:/data" hier predict image.png
#
# PyTorch's builds for CUDA, which pip takes by default on Linux, are several GB larger. To leave them out, pass the index
# that PyTorch's installation page names for "CPU": --build-arg TORCH_INDEX=...
FROM python:3.11-slim

ARG TORCH_INDEX=""
COPY constraints.txt /
RUN pip install --no-cache-dir -c /constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch torchvision

COPY . /hier
RUN pip install --no-cache-dir -c /constraints.txt "/hier[hdf5,em,afm]"

RUN useradd --create-home user && mkdir /data && chown user /data
USER user
WORKDIR /data
ENTRYPOINT ["hier"]
CMD ["--help"]
