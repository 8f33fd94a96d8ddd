FROM scratch
CMD ["shop",]
