# A category set generated from images (Table 4: NXTP, sets of 210 and of 794 names). The paper's lists are not public:
# make one of the words that NXTP or another captioner or tagger finds in your images, see docs/vocabularies.md:
# python tools/build_vocabulary.py words.jsonl data/vocabularies/set_from_images.json --wordnet --min-images 20
_base_ = './pretrain_coco.py'

model = dict(class_embeddings=dict(vocabulary='data/vocabularies/set_from_images.json'))
