"""What `metallize init` begins with: answers, an application's dockerfile made a layer, and the files of the folder."""
