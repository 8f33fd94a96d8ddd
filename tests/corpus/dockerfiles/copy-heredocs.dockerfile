FROM scratch
COPY <<A <<-'B' a /etc/files/
in a
B
A
	in b
	B
WORKDIR /after
