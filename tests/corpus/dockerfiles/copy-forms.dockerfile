FROM scratch
COPY a b /both/
COPY ["a", "with space.txt", "/json/"]
COPY a /renamed
COPY sub /sub/
COPY sub/. /dot/
COPY *.txt /wild/
COPY a?.md /question/
COPY /a /rooted
COPY ./a ./relative
COPY ../a /above
