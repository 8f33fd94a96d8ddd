FROM scratch
ENV GREETING="Grüße, 世界" ÄÖ=ü
ENV V=$GREETING
