FROM scratch
ADD a /a
ADD ["b", "/b"]
ADD https://example.org/archive.tar.gz /tmp/
ADD --checksum=sha256:0000000000000000000000000000000000000000000000000000000000000000 https://example.org/x /x
ADD git@example.org:a/b.git#main:sub /src
ADD --keep-git-dir=true https://example.org/r.git /r
