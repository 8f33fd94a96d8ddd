FROM python:3.12-slim
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=on
WORKDIR /usr/src/app
COPY requirements.txt ./
RUN pip install -r requirements.txt
COPY src/ ./src/
ENTRYPOINT ["gunicorn", "--bind", "0.0.0.0:8000"]
CMD ["src.wsgi:application"]
