FROM python:3.12
RUN <<-PY python3
	print("USER fake")
	PY
USER real
